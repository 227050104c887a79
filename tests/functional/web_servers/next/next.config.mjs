export default {
  output: 'standalone', // the build leaves a folder with the server and the few packages that it needs
  assetPrefix: '/fn/shelf/web', // where a browser finds the scripts of a page: the function is below a path of the node's
  experimental: { isrFlushToDisk: false }, // pages made anew stay in memory: the package cannot be written to
};
